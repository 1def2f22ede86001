package fleetgate.serve

# METADATA
# title: The reader's purpose is the grant's and the release's
# description: 读取用途须与授权及发布用途一致
# custom:
#   number: 5, law 1
#   clause: 个人信息保护法 6; GDPR 5(1)(b)
#   confidence: L2
passed contains "purpose_bound" if {
	input.context.purpose == input.context.grant.purpose
	input.context.purpose == input.context.release.purpose
}

facts contains {"rule": "purpose_bound", "fact": {
	"purpose": input.context.purpose,
	"grant": input.context.grant.purpose,
	"release": input.context.release.purpose,
}}
