output "controller_policy_arn" {
  description = "Attach it to the role that environment.yaml names, or to the controller's own."
  value       = aws_iam_policy.controller.arn
}

output "controller_queues_policy_arn" {
  description = "Attach it beside the controller's where environment.yaml says `trigger: {queues: controller}`; null where it is not made."
  value       = one(aws_iam_policy.controller_queues[*].arn)
}

output "setup_policy_arn" {
  description = "Attach it to whoever runs `fairlead trigger setup`; nobody needs it where this module made everything."
  value       = aws_iam_policy.setup.arn
}

output "host_policy_arn" {
  description = "Attach it to the instances' role."
  value       = aws_iam_policy.host.arn
}

output "doctor_policy_arn" {
  description = "Attach it beside the controller's, so that `fairlead doctor` can ask what is allowed; nothing needs it."
  value       = aws_iam_policy.doctor.arn
}

output "import_policy_arn" {
  description = "Attach it to whoever runs `fairlead import`; nothing else needs it."
  value       = aws_iam_policy.import.arn
}
