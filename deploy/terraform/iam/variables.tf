variable "account" {
  description = "The environment's AWS account, 12 digits."
  type        = string
}

variable "partition" {
  description = "aws, aws-cn or aws-us-gov."
  type        = string
  default     = "aws"
}

variable "environment" {
  description = "The environment of the desired-state repository, like prod."
  type        = string
}

variable "bucket" {
  description = "The bucket for orders."
  type        = string
}

variable "artifacts" {
  description = "Where artifacts lie, as bucket and prefix: [\"builds/matchmaker/*\"]."
  type        = list(string)
}

variable "services" {
  description = "The services whose orders the hosts of this role read: [\"matchmaker\"]."
  type        = list(string)
}

variable "target_groups" {
  description = "The ARNs of the target groups that these hosts leave and enter. Empty: none."
  type        = list(string)
  default     = []
}

variable "secrets" {
  description = "The ARNs of the secrets that the hosts' configuration names; end each in -?????? where its suffix is not known."
  type        = list(string)
  default     = []
}

variable "groups" {
  description = "The names of the Auto Scaling groups whose lifecycle hooks these hosts answer. Empty: none."
  type        = list(string)
  default     = []
}

variable "own_queue" {
  description = "How a host is kept to its own queue: \"name\" (any agent queue of the account) or \"tag\" (see README)."
  type        = string
  default     = "name"

  validation {
    condition     = contains(["name", "tag"], var.own_queue)
    error_message = "own_queue must be name or tag."
  }
}

variable "controller_keeps_queues" {
  description = "environment.yaml says `trigger: {queues: controller}`: make the policy for that too."
  type        = bool
  default     = false
}
