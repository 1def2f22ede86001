package fleetgate.serve

# METADATA
# title: The reader belongs to the recipient of the release
# description: 读取人须属于该发布的接收方
# custom:
#   number: 5, law 1
#   clause: 网络数据安全管理条例 12
#   confidence: L
passed contains "recipient_bound" if input.context.release.recipient == input.context.release.subject_recipient

facts contains {"rule": "recipient_bound", "fact": {
	"recipient": input.context.release.recipient,
	"reader": input.context.release.subject_recipient,
}}
