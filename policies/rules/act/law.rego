package fleetgate.act

import data.fleetgate.lib

law_home_countries := lib.members(data.law.transfer.home_countries_cn) if input.context.profile.jurisdiction == "CN"

law_home_countries := lib.members(data.law.transfer.home_countries_eu) if input.context.profile.jurisdiction == "EU"

law_permitted_roles := lib.value(data.law.acts.permitted_roles)

law_excluded_acts := lib.value(data.law.acts.excluded_acts)

law_own_acts := lib.value(data.law.acts.own_acts)

law_represented_roles := lib.value(data.law.acts.represented_roles)

law_raw_acts := lib.members(data.law.acts.raw_acts)

law_break_glass_acts := lib.members(data.law.acts.break_glass_acts)

law_break_glass_timed_acts := lib.members(data.law.acts.break_glass_timed_acts)
