# An instance serves when its agent says so, and is ended when its traffic is gone. Whom no agent answers for within
# the time-out is not let into service, and is ended all the same.
resource "aws_autoscaling_lifecycle_hook" "launch" {
  for_each               = var.groups
  name                   = var.launch_hook
  autoscaling_group_name = each.value
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_LAUNCHING"
  heartbeat_timeout      = var.launch_timeout
  default_result         = "ABANDON"
}

resource "aws_autoscaling_lifecycle_hook" "terminating" {
  for_each               = var.groups
  name                   = var.terminating_hook
  autoscaling_group_name = each.value
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_TERMINATING"
  heartbeat_timeout      = var.terminating_timeout
  default_result         = "CONTINUE"
}
