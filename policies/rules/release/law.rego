package fleetgate.release

import data.fleetgate.lib

law_cabin_classes := lib.members(data.law.taxonomy.cabin_classes)

law_class_level := lib.value(data.law.taxonomy.class_level)

law_forbidden_site_tags := lib.members(data.law.taxonomy.forbidden_site_tags)

law_geo_classes := lib.members(data.law.taxonomy.geo_classes)

law_home_countries := lib.members(data.law.transfer.home_countries_cn) if input.context.profile.jurisdiction == "CN"

law_home_countries := lib.members(data.law.transfer.home_countries_eu) if input.context.profile.jurisdiction == "EU"

law_imagery_classes := lib.members(data.law.taxonomy.imagery_classes)

law_impact_kind := "pia" if input.context.profile.jurisdiction == "CN"

law_impact_kind := "dpia" if input.context.profile.jurisdiction == "EU"

law_impact_levels := lib.members(data.law.assessment.impact_levels_cn) if input.context.profile.jurisdiction == "CN"

law_impact_levels := lib.members(data.law.assessment.impact_levels_eu) if input.context.profile.jurisdiction == "EU"

law_important_data_subjects := lib.value(data.law.subjects.important_data_subjects)

law_known_crs := lib.members(data.law.position.known_crs)

law_known_crs_pattern := lib.value(data.law.position.known_crs_pattern)

law_knows_crs(crs) if crs in law_known_crs

law_knows_crs(crs) if regex.match(law_known_crs_pattern, crs)

law_level_rank := lib.value(data.law.taxonomy.level_rank)

law_local_clip_max_m := lib.value(data.law.position.local_clip_max_m)

law_map_number_pattern := lib.value(data.law.surveying.map_number_pattern)

law_nulled_attribute_tags := lib.members(data.law.taxonomy.nulled_attribute_tags)

law_offset_max_distance_error := lib.value(data.law.position.offset_max_distance_error)

law_offset_min_shift_m := lib.value(data.law.position.offset_min_shift_m)

law_point_keep_every := lib.value(data.law.treatment.point_keep_every)

law_provision_record_years := lib.value(data.law.retention.provision_record_years)

law_provision_levels := lib.members(data.law.assessment.provision_levels_cn) if input.context.profile.jurisdiction == "CN"

law_provision_levels := set() if input.context.profile.jurisdiction == "EU"

law_public_formula_crs := lib.members(data.law.position.public_formula_crs)

law_quality_confidence := lib.value(data.law.quality.confidence)

law_quality_threshold := lib.value(data.law.quality.recall_threshold)

law_secret_area_km2 := lib.value(data.law.surveying.secret_area_km2)

law_sensitive_site_tags := lib.members(data.law.taxonomy.sensitive_site_tags)

law_supervision_days := lib.value(data.law.recipients.supervision_days)

law_tags := lib.members(data.law.taxonomy.tags)

law_thinned_classes := lib.members(data.law.treatment.thinned_classes)

law_watermarked_purposes := lib.members(data.law.treatment.watermarked_purposes)
