package fairlead;

import static com.netflix.spinnaker.orca.api.pipeline.models.ExecutionType.PIPELINE;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.netflix.spinnaker.kork.exceptions.ConfigurationException;
import com.netflix.spinnaker.orca.api.pipeline.models.PipelineExecution;
import com.netflix.spinnaker.orca.api.pipeline.models.Trigger;
import com.netflix.spinnaker.orca.pipeline.CompoundExecutionOperator;
import com.netflix.spinnaker.orca.pipeline.ExecutionLauncher;
import com.netflix.spinnaker.orca.pipeline.persistence.ExecutionRepository;
import com.netflix.spinnaker.orca.pipeline.persistence.ExecutionRepository.ExecutionCriteria;
import com.netflix.spinnaker.orca.pipeline.util.ArtifactUtils;
import com.netflix.spinnaker.orca.pipeline.util.ContextParameterProcessor;
import com.netflix.spinnaker.security.AuthenticatedRequest;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.springframework.beans.factory.annotation.Qualifier;
import org.springframework.http.HttpStatus;
import org.springframework.web.bind.annotation.DeleteMapping;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PatchMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.PutMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.server.ResponseStatusException;

/**
 * The doors. They decide next to nothing: what is ours here (that a disabled pipeline is refused, that defaults are filled
 * in, that a running execution is not deleted, and the statuses of answers) proves nothing about Orca.
 */
@RestController
public class Doors {
  private final ExecutionLauncher launcher;
  private final ExecutionRepository executions;
  private final CompoundExecutionOperator operator;
  private final ContextParameterProcessor expressions;
  private final ArtifactUtils artifacts;
  private final ObjectMapper mapper;

  Doors(
      ExecutionLauncher launcher,
      ExecutionRepository executions,
      CompoundExecutionOperator operator,
      ContextParameterProcessor expressions,
      ArtifactUtils artifacts,
      @Qualifier("objectMapper") ObjectMapper mapper) {
    this.launcher = launcher;
    this.executions = executions;
    this.operator = operator;
    this.expressions = expressions;
    this.artifacts = artifacts;
    this.mapper = mapper;
  }

  /** A whole pipeline with its trigger: evaluated and launched by Orca. */
  @PostMapping("/orchestrate")
  Map<String, Object> orchestrate(@RequestBody Map<String, Object> pipeline) {
    Map<String, Object> trigger = filledTrigger(pipeline);
    pipeline.put("trigger", trigger);
    artifacts.resolveArtifacts(pipeline);
    Map<String, Object> known = new HashMap<>();
    known.put("trigger", pipeline.get("trigger"));
    known.put("templateVariables", new HashMap<>());
    boolean disabled = Boolean.TRUE.equals(pipeline.get("disabled"));
    Map<String, Object> processed = expressions.processPipeline(pipeline, known, false);
    processed.put("trigger", mapper.convertValue(processed.get("trigger"), Trigger.class));
    processed.put("origin", "api");
    if (disabled) {
      ConfigurationException refusal =
          new ConfigurationException("Pipeline is disabled and cannot be started.");
      launcher.fail(PIPELINE, processed, refusal);
      throw refusal;
    }
    return Map.of("ref", "/pipelines/" + launcher.start(PIPELINE, processed).getId());
  }

  @SuppressWarnings("unchecked")
  private Map<String, Object> filledTrigger(Map<String, Object> pipeline) {
    Map<String, Object> trigger =
        (Map<String, Object>) pipeline.getOrDefault("trigger", new HashMap<>());
    trigger.putIfAbsent("type", "manual");
    trigger.putIfAbsent("user", user());
    Map<String, Object> parameters =
        (Map<String, Object>) trigger.getOrDefault("parameters", new HashMap<>());
    trigger.put("parameters", parameters);
    for (Map<String, Object> declared :
        (List<Map<String, Object>>) pipeline.getOrDefault("parameterConfig", List.of())) {
      if (!parameters.containsKey((String) declared.get("name"))) {
        parameters.put((String) declared.get("name"), declared.get("default"));
      }
    }
    return trigger;
  }

  @GetMapping("/pipelines/{id}")
  PipelineExecution read(@PathVariable String id) {
    return executions.retrieve(PIPELINE, id);
  }

  /** Executions of pipeline configurations, built between two moments (milliseconds), as the store gives them. */
  @GetMapping("/pipelines")
  List<PipelineExecution> between(
      @RequestParam List<String> configs, @RequestParam long since, @RequestParam long until) {
    ExecutionCriteria all = new ExecutionCriteria().setPageSize(1000);
    return executions.retrievePipelinesForPipelineConfigIdsBetweenBuildTimeBoundary(
        configs, since, until, all);
  }

  @PutMapping("/pipelines/{id}/cancel")
  @ResponseStatus(HttpStatus.ACCEPTED)
  void cancel(@PathVariable String id, @RequestParam(required = false) String reason) {
    operator.cancel(PIPELINE, id, user(), reason);
  }

  @PutMapping("/pipelines/{id}/pause")
  @ResponseStatus(HttpStatus.ACCEPTED)
  void pause(@PathVariable String id) {
    operator.pause(PIPELINE, id, user());
  }

  @PutMapping("/pipelines/{id}/resume")
  @ResponseStatus(HttpStatus.ACCEPTED)
  void resume(@PathVariable String id) {
    operator.resume(PIPELINE, id, user(), false);
  }

  @DeleteMapping("/pipelines/{id}")
  void delete(@PathVariable String id) {
    if (!executions.retrieve(PIPELINE, id).getStatus().isComplete()) {
      throw new ResponseStatusException(HttpStatus.CONFLICT);
    }
    executions.delete(PIPELINE, id);
  }

  @PatchMapping("/pipelines/{id}/stages/{stage}")
  PipelineExecution change(
      @PathVariable String id, @PathVariable String stage, @RequestBody Map<String, Object> context) {
    return operator.updateStage(PIPELINE, id, stage, it -> it.getContext().putAll(context));
  }

  @PutMapping("/pipelines/{id}/stages/{stage}/restart")
  PipelineExecution restart(
      @PathVariable String id, @PathVariable String stage, @RequestBody Map<String, Object> details) {
    return operator.restartStage(id, stage, details);
  }

  private static String user() {
    return AuthenticatedRequest.getSpinnakerUser().orElse("anonymous");
  }
}
