package fleetgate.release

import data.fleetgate.lib

# METADATA
# title: From 100,000 cumulative subjects the data are important data, provided only after a recorded assessment
# description: 累计个人信息主体达十万人为重要数据，提供前须评估
# custom:
#   number: '19'
#   clause: 汽车数据安全管理若干规定（试行）第3条; 网络数据安全管理条例 31
#   confidence: L
passed contains "subjects_assessed" if {
	input.context.profile.jurisdiction == "CN"
	input.resource.counts.subjects >= 0
	input.context.cumulative.subjects >= 0
	subjects_total < law_important_data_subjects
}

passed contains "subjects_assessed" if {
	input.context.profile.jurisdiction == "CN"
	subjects_total >= law_important_data_subjects
	lib.stated(input.context.dpia_reference)
}

# Not applicable under EU law: gdpr_basis demands the assessment of every release.
passed contains "subjects_assessed" if input.context.profile.jurisdiction == "EU"

facts contains {"rule": "subjects_assessed", "fact": {"subjects": subjects_total, "assessment": input.context.dpia_reference}}
