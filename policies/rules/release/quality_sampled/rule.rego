package fleetgate.release

# METADATA
# title: A person counted in a sample of all pictures, and what is masked reaches the threshold for faces and for plates
# description: 须由人工对全部画面的抽样逐一计数，人脸与号牌的处理质量均须达到阈值
# custom:
#   number: '17'
#   clause: GB/T 44464-2024 附录B、附录C; COMPLIANCE.md §1 C5
#   confidence: L
passed contains "quality_sampled" if {
	input.context.quality.counted == true
	is_string(input.context.quality.sample_digest)
	regex.match("^[0-9a-f]+$", input.context.quality.sample_digest)
	input.context.quality.reviewed == input.context.quality.sampled
	input.context.quality.sampled > 0
	input.context.quality.pictures - input.context.quality.sampled >= 0
	input.context.quality.failed_before == 0
	input.context.quality.confidence >= law_quality_confidence
	input.context.quality.confidence < 1
	{of.kind | some of in input.context.quality.kinds} == {"face", "plate"}
	every of in input.context.quality.kinds { quality_sampled_reaches(of) }
}

# A release without pictures; a still image is one.
passed contains "quality_sampled" if {
	input.context.quality.counted == true
	input.context.quality.pictures == 0
	every item in input.resource.items { item.class != "EXT_IMAGE" }
}

quality_sampled_reaches(of) if {
	of.lower_bound >= law_quality_threshold
	of.lower_bound <= 1
	quality_sampled_recalls(of)
}

# Nothing of the kind was seen, masked or not.
quality_sampled_recalls(of) if of.hits + of.misses == 0

quality_sampled_recalls(of) if {
	of.recall >= law_quality_threshold
	of.recall <= 1
}

facts contains {"rule": "quality_sampled", "fact": {
	"pictures": input.context.quality.pictures,
	"sampled": input.context.quality.sampled,
	"reviewed": input.context.quality.reviewed,
	"failed_before": input.context.quality.failed_before,
	"kinds": input.context.quality.kinds,
	"threshold": law_quality_threshold,
	"confidence": law_quality_confidence,
}}
