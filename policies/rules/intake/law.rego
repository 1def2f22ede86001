package fleetgate.intake

import data.fleetgate.lib

law_cabin_classes := lib.members(data.law.taxonomy.cabin_classes)

law_class_level := lib.value(data.law.taxonomy.class_level)

law_home_countries := lib.members(data.law.transfer.home_countries_cn) if input.context.profile.jurisdiction == "CN"

law_home_countries := lib.members(data.law.transfer.home_countries_eu) if input.context.profile.jurisdiction == "EU"

law_known_crs := lib.members(data.law.position.known_crs)

law_known_crs_pattern := lib.value(data.law.position.known_crs_pattern)

law_knows_crs(crs) if crs in law_known_crs

law_knows_crs(crs) if regex.match(law_known_crs_pattern, crs)

law_level_rank := lib.value(data.law.taxonomy.level_rank)

law_suites := lib.members(data.law.cryptography.suites)
