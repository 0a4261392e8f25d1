output "order_prefix" {
  description = "Where the environment's orders lie in the bucket."
  value       = local.order_prefix
}

output "topic_arns" {
  description = "The topic of each fleet, by service."
  value       = { for service, topic in aws_sns_topic.fleet : service => topic.arn }
}

output "agent_queue_arns" {
  description = "The queue of each instance, by instance id."
  value       = { for host, queue in aws_sqs_queue.agent : host => queue.arn }
}

output "reports_queue_arn" {
  description = "Where the environment's agents report in this region."
  value       = aws_sqs_queue.reports.arn
}
