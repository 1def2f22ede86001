package fleetgate.act

# METADATA
# title: Only who submitted takes back
# description: 仅本人先前提交的对象可由本人撤回
# custom:
#   number: law 8
#   clause: DESIGN.md §3 law 8
#   confidence: own
passed contains "own_object" if {
	is_object(law_own_acts)
	count(own_object_needed - own_object_did) == 0
}

passed contains "own_object" if input.resource.exists == false

own_object_needed := {act | some act in object.get(law_own_acts, input.action.name, [])}

own_object_did := {done.act |
	some done in input.resource.done
	done.person == input.subject.id
}

facts contains {"rule": "own_object", "fact": {
	"subject": input.subject.id,
	"needs": own_object_needed,
	"did": own_object_did,
}}
