package fleetgate.destroy

import data.fleetgate.lib

law_record_years := {"provision": lib.value(data.law.retention.provision_record_years), "assessment": lib.value(data.law.retention.assessment_record_years), "secret_geo": lib.value(data.law.retention.secret_geo_record_years)}

law_record_days := {"access": lib.value(data.law.retention.access_log_days)}

law_raw_days := lib.value(data.law.retention.raw_days)
