package fleetgate.release

# METADATA
# title: A release holds at least one item, of at least one recording, none twice
# description: 发布不得为空，且数据项不得重复
# custom:
#   number: law 5
#   clause: DESIGN.md §3 law 5; STYLE habit 4
#   confidence: own
passed contains "release_not_empty" if {
	count(input.resource.recordings) > 0
	count(input.resource.items) > 0
	count({item.id | some item in input.resource.items}) == count(input.resource.items)
}

facts contains {"rule": "release_not_empty", "fact": {
	"recordings": count(input.resource.recordings),
	"items": count(input.resource.items),
}}
