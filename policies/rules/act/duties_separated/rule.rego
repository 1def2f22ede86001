package fleetgate.act

import data.fleetgate.lib

# METADATA
# title: 'Who did an act on an object does none that excludes it: submitter and approver, proposer and installer are two persons'
# description: 互斥职责须由不同人员承担：对同一对象做过互斥行为的人不得再做本行为
# custom:
#   number: 6, law 8
#   clause: COMPLIANCE.md §3 rule 6; DESIGN.md §3 law 8; GB/T 22239-2019 8.1.4.2 d)
#   confidence: M
passed contains "duties_separated" if {
	is_object(law_excluded_acts)
	input.resource.exists == true
	lib.stated(input.subject.id)
	count(duties_separated_excluded - duties_separated_stated) == 0
	count({input.subject.id} & duties_separated_doers) == 0
}

passed contains "duties_separated" if {
	input.resource.exists == false
	count(input.resource.done) == 0
}

duties_separated_excluded := {act | some act in object.get(law_excluded_acts, input.action.name, [])}

duties_separated_stated := {done.act |
	some done in input.resource.done
	lib.stated(done.person)
}

duties_separated_doers := {done.person |
	some done in input.resource.done
	done.act in duties_separated_excluded
}

facts contains {"rule": "duties_separated", "fact": {
	"subject": input.subject.id,
	"act": input.action.name,
	"excludes": duties_separated_excluded,
	"done": {done | some entry in input.resource.done; done := {"act": entry.act, "person": entry.person}},
}}
