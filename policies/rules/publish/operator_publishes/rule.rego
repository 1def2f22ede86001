package fleetgate.publish

# METADATA
# title: A release is published by a person in the operator's role
# description: 仅持证运营方人员可发布
# custom:
#   number: '5'
#   clause: 自然资发〔2024〕139号
#   confidence: L2
passed contains "operator_publishes" if "operator" in input.subject.roles

facts contains {"rule": "operator_publishes", "fact": {"subject": input.subject.id, "roles": input.subject.roles}}
