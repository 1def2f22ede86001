package fleetgate.intake

# METADATA
# title: What is of unknown class or coordinate system is handled as a state secret, which only an accredited system may receive
# description: 类别或坐标系未知的数据按涉密处理，非涉密系统不得接收
# custom:
#   number: 2, 26
#   clause: COMPLIANCE.md §2 (SX_UNKNOWN handled as S4); 测绘地理信息管理工作国家秘密范围的规定
#   confidence: L2
passed contains "known_frame" if frame_known

passed contains "known_frame" if {
	input.context.accredited_for_secrets == true
	is_string(input.resource.crs)
	is_array(input.resource.classes_declared)
}

facts contains {"rule": "known_frame", "fact": {
	"crs": input.resource.crs,
	"classes": input.resource.classes_declared,
	"accredited": input.context.accredited_for_secrets,
}}
