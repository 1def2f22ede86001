package fleetgate.serve

import data.fleetgate.lib

# METADATA
# title: The reader holds a live grant on this release
# description: 读取须有本人、本发布、未过期未撤销的授权
# custom:
#   number: 5, law 1
#   clause: DESIGN.md §3 law 1
#   confidence: own
passed contains "grant_live" if {
	input.context.grant.subject == input.subject.id
	input.context.grant.release == input.resource.release
	input.context.grant.revoked == false
	lib.within(input.context.time, input.context.grant.not_before, input.context.grant.not_after)
}

obligations contains {"kind": "expire", "parameters": {"not_after": input.context.grant.not_after}}

facts contains {"rule": "grant_live", "fact": {"grant": input.context.grant, "subject": input.subject.id, "release": input.resource.release}}
