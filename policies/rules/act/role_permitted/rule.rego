package fleetgate.act

# METADATA
# title: The act is in the table of permissions, and the person holds one of the roles that it names (least privilege)
# description: 行为须在权限表中，且行为人须具备表中所列角色之一（最小权限）
# custom:
#   number: law 5
#   clause: GB/T 22239-2019 8.1.4.2 d); COMPLIANCE.md §1 A11, D7
#   confidence: M
passed contains "role_permitted" if {
	count({role | some role in law_permitted_roles[input.action.name]} & {role | some role in input.subject.roles}) > 0
}

facts contains {"rule": "role_permitted", "fact": {
	"act": input.action.name,
	"roles": input.subject.roles,
	"permitted": object.get(law_permitted_roles, input.action.name, []),
}}
