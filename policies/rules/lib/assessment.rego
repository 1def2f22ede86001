package fleetgate.lib

# METADATA
# description: Whether an assessment in force covers data of a class and level, or that level needs none of its kind.
assessed(assessments, kind, class, level, _) if {
	some assessment in assessments
	assessment.kind == kind
	within(input.context.time, assessment.valid_from, assessment.valid_until)
	class in assessment.classes
	level in assessment.levels
}

assessed(_, _, _, level, needed) if count({level} - needed) > 0

# METADATA
# description: Contracts that are in force and allow a purpose.
in_force_for(contracts, purpose) := [contract |
	some contract in contracts
	within(input.context.time, contract.valid_from, contract.valid_to)
	purpose in contract.purposes
]
