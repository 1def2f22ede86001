package fleetgate.release

import data.fleetgate.lib

# METADATA
# title: The release has an expiry that lies ahead
# description: 发布须有尚未到期的截止时间
# custom:
#   number: '5'
#   clause: COMPLIANCE.md §3 rule 5
#   confidence: own
passed contains "expiry_ahead" if lib.before(input.context.time, input.context.expires_at)

obligations contains {"kind": "expire", "parameters": {"not_after": input.context.expires_at}}

facts contains {"rule": "expiry_ahead", "fact": {"time": input.context.time, "expires_at": input.context.expires_at}}
