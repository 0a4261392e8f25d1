locals {
  values = {
    account       = var.account
    partition     = var.partition
    environment   = var.environment
    bucket        = var.bucket
    artifacts     = [for place in var.artifacts : "arn:${var.partition}:s3:::${place}"]
    orders        = [for service in var.services : "arn:${var.partition}:s3:::${var.bucket}/orders/${var.environment}/${service}.json"]
    target_groups = var.target_groups
    secrets       = var.secrets
    groups        = [for name in var.groups : "arn:${var.partition}:autoscaling:*:${var.account}:autoScalingGroup:*:autoScalingGroupName/${name}"]
  }

  # A statement about nothing is no statement: IAM refuses an empty list of resources.
  host_parts = concat(
    ["host.json.tftpl", "host-queue-by-${var.own_queue}.json.tftpl"],
    length(var.target_groups) > 0 ? ["host-target-groups.json.tftpl"] : [],
    length(var.secrets) > 0 ? ["host-secrets.json.tftpl"] : [],
    length(var.groups) > 0 ? ["host-hooks.json.tftpl"] : [],
  )
}

resource "aws_iam_policy" "controller" {
  name        = "fairlead-controller-${var.environment}"
  description = "What the controller needs in this environment"
  policy      = templatefile("${path.module}/policies/controller.json.tftpl", local.values)
}

resource "aws_iam_policy" "controller_queues" {
  count       = var.controller_keeps_queues ? 1 : 0
  name        = "fairlead-controller-queues-${var.environment}"
  description = "What the controller needs on top where it keeps topics and queues itself"
  policy      = templatefile("${path.module}/policies/controller-queues.json.tftpl", local.values)
}

resource "aws_iam_policy" "setup" {
  name        = "fairlead-setup-${var.environment}"
  description = "What a person who runs fairlead trigger setup needs, on top of nothing else"
  policy      = templatefile("${path.module}/policies/setup.json.tftpl", local.values)
}

resource "aws_iam_policy" "doctor" {
  name        = "fairlead-doctor-${var.environment}"
  description = "What fairlead doctor can make use of, and does without: attach it beside the controller's"
  policy      = templatefile("${path.module}/policies/doctor.json.tftpl", local.values)
}

resource "aws_iam_policy" "import" {
  name        = "fairlead-import-${var.environment}"
  description = "What a person who runs fairlead import needs, on top of nothing else"
  policy      = templatefile("${path.module}/policies/import.json.tftpl", local.values)
}

resource "aws_iam_policy" "host" {
  name        = "fairlead-host-${var.environment}"
  description = "What the agent needs on a host of this environment"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = flatten([
      for part in local.host_parts : jsondecode(templatefile("${path.module}/policies/${part}", local.values)).Statement
    ])
  })
}
