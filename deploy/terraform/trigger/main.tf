data "aws_caller_identity" "this" {}

# Orders. Versioned: what hosts were told, and when, can be looked up for ninety days.
resource "aws_s3_bucket" "orders" {
  count  = var.create_bucket ? 1 : 0
  bucket = var.bucket
  tags   = local.tags
}

resource "aws_s3_bucket_public_access_block" "orders" {
  count                   = var.create_bucket ? 1 : 0
  bucket                  = aws_s3_bucket.orders[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "orders" {
  count  = var.create_bucket ? 1 : 0
  bucket = aws_s3_bucket.orders[0].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "orders" {
  count      = var.create_bucket ? 1 : 0
  bucket     = aws_s3_bucket.orders[0].id
  depends_on = [aws_s3_bucket_versioning.orders]

  rule {
    id     = "old-orders"
    status = "Enabled"

    filter {
      prefix = "orders/"
    }

    noncurrent_version_expiration {
      noncurrent_days = 90
    }
  }
}

# Hints: one topic a fleet. No filter policies: each is a quota and takes effect after minutes.
resource "aws_sns_topic" "fleet" {
  for_each = local.topic_names
  name     = each.value
  tags     = merge(local.tags, { "fairlead:fleet" = "${var.environment}/${each.key}" })
}

# A hint older than an hour has no value: the agent has looked by itself since.
resource "aws_sqs_queue" "agent" {
  for_each                  = local.agent_queues
  name                      = each.value
  message_retention_seconds = 3600
  receive_wait_time_seconds = 20
  sqs_managed_sse_enabled   = true
  tags                      = merge(local.tags, { "fairlead:host" = each.key })
}

resource "aws_sqs_queue_policy" "agent" {
  for_each  = local.agent_queues
  queue_url = aws_sqs_queue.agent[each.key].url

  policy = templatefile("${path.module}/agent-queue.json.tftpl", {
    queue_arn = aws_sqs_queue.agent[each.key].arn
    topics    = [for service in sort(var.hosts[each.key]) : aws_sns_topic.fleet[service].arn]
    account   = data.aws_caller_identity.this.account_id
  })
}

resource "aws_sns_topic_subscription" "agent" {
  for_each             = local.subscriptions
  topic_arn            = aws_sns_topic.fleet[each.value.service].arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.agent[each.value.host].arn
  raw_message_delivery = true
  depends_on           = [aws_sqs_queue_policy.agent]
}

# A day: a controller that was away for a night still reads what happened meanwhile.
resource "aws_sqs_queue" "reports" {
  name                      = local.reports_queue
  message_retention_seconds = 86400
  receive_wait_time_seconds = 20
  sqs_managed_sse_enabled   = true
  tags                      = local.tags

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead.arn
    maxReceiveCount     = 5
  })
}

# What nobody can read of the reports, kept for as long as SQS does: for people to look at.
resource "aws_sqs_queue" "dead" {
  name                      = local.dead_reports
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = local.tags
}
