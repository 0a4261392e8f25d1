variable "environment" {
  description = "The environment of the desired-state repository, like prod."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,39}$", var.environment))
    error_message = "An environment is at most 40 small letters, digits and hyphens."
  }
}

variable "services" {
  description = "The services of the environment's trigger fleets in this region, like [\"matchmaker\", \"lobby\"]."
  type        = set(string)

  validation {
    condition     = alltrue([for name in var.services : can(regex("^[a-z0-9][a-z0-9-]{0,39}$", name))])
    error_message = "A service is at most 40 small letters, digits and hyphens."
  }
}

variable "bucket" {
  description = "The bucket for orders: trigger.bucket of environment.yaml."
  type        = string
}

variable "create_bucket" {
  description = "Whether this use of the module makes the bucket: true in one region of the environment only."
  type        = bool
  default     = true
}

variable "hosts" {
  description = "The services of each instance, by instance id: {\"i-0123456789abcdef0\" = [\"matchmaker\"]}. Each gets a queue."
  type        = map(set(string))
  default     = {}

  validation {
    condition     = alltrue([for id in keys(var.hosts) : can(regex("^i-[0-9a-f]{8,17}$", id))])
    error_message = "A host is an instance id like i-0123456789abcdef0."
  }
}

variable "tags" {
  description = "Further tags for everything."
  type        = map(string)
  default     = {}
}
