package fleetgate.serve

import data.fleetgate.lib

# METADATA
# title: The release is published, not revoked and not expired
# description: 发布须已生效、未撤销、未到期
# custom:
#   number: 5, law 1
#   clause: DESIGN.md §3 law 1
#   confidence: own
passed contains "release_live" if {
	input.resource.state == "Released"
	input.context.release.revoked == false
	lib.before(input.context.time, input.context.release.expires_at)
}

facts contains {"rule": "release_live", "fact": {
	"state": input.resource.state,
	"revoked": input.context.release.revoked,
	"expires_at": input.context.release.expires_at,
	"time": input.context.time,
}}
