variable "groups" {
  description = "The names of the Auto Scaling groups whose instances run the agent, like [\"matchmaker-prod\"]."
  type        = set(string)
}

variable "launch_hook" {
  description = "The name of the launch hook: launch_hook of agent.yaml."
  type        = string
  default     = "fairlead-launch"
}

variable "terminating_hook" {
  description = "The name of the terminating hook: terminating_hook of agent.yaml."
  type        = string
  default     = "fairlead-terminating"
}

variable "launch_timeout" {
  description = "Seconds from one heartbeat of the agent to the next, at most. It sends one every four to five minutes."
  type        = number
  default     = 900

  validation {
    condition     = var.launch_timeout >= 600 && var.launch_timeout <= 7200
    error_message = "launch_timeout must be from 600 to 7200 seconds."
  }
}

variable "terminating_timeout" {
  description = "Seconds that an instance whose agent is gone waits for its end, at most. Keep it above drain.within."
  type        = number
  default     = 900

  validation {
    condition     = var.terminating_timeout >= 600 && var.terminating_timeout <= 7200
    error_message = "terminating_timeout must be from 600 to 7200 seconds."
  }
}
