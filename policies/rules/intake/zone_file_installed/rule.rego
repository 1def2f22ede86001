package fleetgate.intake

import data.fleetgate.lib

# METADATA
# title: A signed file of restricted zones is installed, or nothing can be cut
# description: 未安装已签名的禁区文件不得接收
# custom:
#   number: 11, law 5
#   clause: 公开地图内容表示规范; DESIGN.md §4 Zones
#   confidence: L2
passed contains "zone_file_installed" if {
	input.context.profile.jurisdiction == "CN"
	input.context.zone_file.installed == true
	input.context.zone_file.signed == true
	lib.stated(input.context.zone_file.digest)
}

# Not applicable under EU law.
passed contains "zone_file_installed" if input.context.profile.jurisdiction == "EU"

facts contains {"rule": "zone_file_installed", "fact": input.context.zone_file}
