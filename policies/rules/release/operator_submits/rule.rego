package fleetgate.release

# METADATA
# title: A release is submitted by a person in the operator's role
# description: 仅持证运营方人员可提交发布
# custom:
#   number: '5'
#   clause: 自然资发〔2024〕139号; COMPLIANCE.md §1 A7, A11
#   confidence: L2
passed contains "operator_submits" if "operator" in input.subject.roles

facts contains {"rule": "operator_submits", "fact": {"subject": input.subject.id, "roles": input.subject.roles}}
