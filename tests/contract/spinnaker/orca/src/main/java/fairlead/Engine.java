package fairlead;

import com.netflix.spinnaker.filters.AuthenticatedRequestFilter;
import com.netflix.spinnaker.orca.config.OrcaConfiguration;
import com.netflix.spinnaker.orca.config.RedisConfiguration;
import java.util.Map;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.autoconfigure.groovy.template.GroovyTemplateAutoConfiguration;
import org.springframework.boot.autoconfigure.jdbc.DataSourceAutoConfiguration;
import org.springframework.boot.web.servlet.FilterRegistrationBean;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Import;
import org.springframework.core.Ordered;

/**
 * Orca's own engine (its launcher, queue, handlers, stages, expressions and Redis store) behind a few HTTP doors of ours.
 *
 * <p>Orca's web module is not published; its libraries are, and their configuration is used here as it is.
 */
@SpringBootApplication(
    scanBasePackages = "com.netflix.spinnaker.config",
    exclude = {
      DataSourceAutoConfiguration.class,
      GroovyTemplateAutoConfiguration.class
    })
@Import({OrcaConfiguration.class, RedisConfiguration.class, Doors.class})
public class Engine {

  /** Arguments are Spring's: --server.port, --redis.connection and so on. */
  public static void main(String[] arguments) {
    SpringApplication application = new SpringApplication(Engine.class);
    application.setDefaultProperties(Map.of("spring.application.name", "orca"));
    application.run(arguments);
  }

  /** X-SPINNAKER-USER and its kin, by the filter that every Spinnaker service has. */
  @Bean
  FilterRegistrationBean<AuthenticatedRequestFilter> authenticatedRequestFilter() {
    FilterRegistrationBean<AuthenticatedRequestFilter> filter =
        new FilterRegistrationBean<>(new AuthenticatedRequestFilter(true));
    filter.setOrder(Ordered.HIGHEST_PRECEDENCE);
    return filter;
  }
}
