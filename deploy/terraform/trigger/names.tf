# The names that controller and agents derive (adapters/agent_protocol/addresses.py). A test compares them.
locals {
  order_prefix  = "orders/${var.environment}/"
  topic_names   = { for service in var.services : service => "fairlead-${var.environment}_${service}" }
  agent_queues  = { for host in keys(var.hosts) : host => "fairlead-agent-${host}" }
  reports_queue = "fairlead-reports-${var.environment}"
  dead_reports  = "fairlead-reports-${var.environment}_dead"

  tags = merge(var.tags, {
    "fairlead:managed"     = "terraform" # `fairlead trigger setup` removes only what it made itself
    "fairlead:environment" = var.environment
  })

  subscriptions = {
    for pair in flatten([
      for host, services in var.hosts : [for service in services : { host = host, service = service }]
    ]) : "${pair.host}/${pair.service}" => pair
  }
}
