package fleetgate.release

# METADATA
# title: The purpose is a registered one
# description: 发布须对应已登记的用途
# custom:
#   number: '5'
#   clause: 个人信息保护法 6; GDPR 5(1)(b)
#   confidence: L2
passed contains "purpose_registered" if input.context.purpose in input.context.purposes_registered

facts contains {"rule": "purpose_registered", "fact": {"purpose": input.context.purpose, "registered": input.context.purposes_registered}}
