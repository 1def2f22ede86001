package fleetgate.publish

import data.fleetgate.lib

law_home_countries := lib.members(data.law.transfer.home_countries_cn) if input.context.profile.jurisdiction == "CN"

law_home_countries := lib.members(data.law.transfer.home_countries_eu) if input.context.profile.jurisdiction == "EU"

law_level_rank := lib.value(data.law.taxonomy.level_rank)

law_provision_record_years := lib.value(data.law.retention.provision_record_years)

law_approval_valid_days := lib.value(data.law.approval.approval_valid_days)

law_candidate_valid_days := lib.value(data.law.approval.candidate_valid_days)
