package fleetgate.act

# METADATA
# title: The person is enrolled and not suspended
# description: 行为人须已登记且未被停用
# custom:
#   number: law 6
#   clause: GB/T 22239-2019 8.1.4.2 c); COMPLIANCE.md §1 D7
#   confidence: M
passed contains "active_person" if {
	input.subject.enrolled == true
	input.subject.suspended == false
}

facts contains {"rule": "active_person", "fact": {
	"subject": input.subject.id,
	"enrolled": input.subject.enrolled,
	"suspended": input.subject.suspended,
}}
