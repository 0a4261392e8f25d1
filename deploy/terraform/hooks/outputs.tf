output "agent_settings" {
  description = "What agent.yaml says beside the rest."
  value       = { launch_hook = var.launch_hook, terminating_hook = var.terminating_hook }
}
