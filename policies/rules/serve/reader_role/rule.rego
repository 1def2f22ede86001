package fleetgate.serve

# METADATA
# title: Only engineers and operators download; annotators work in controlled views
# description: 仅工程与运营角色可下载；标注仅限受控视图
# custom:
#   number: '31'
#   clause: COMPLIANCE.md §3 rule 31
#   confidence: own
passed contains "reader_role" if count({"engineer", "operator"} & {role | some role in input.subject.roles}) > 0

facts contains {"rule": "reader_role", "fact": {"roles": input.subject.roles}}
