package fleetgate_test.intake.zone_file_installed

import data.examples.intake as base
import data.fleetgate.intake

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "zone_file_installed" in intake.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes vehicle": {"passes": true, "question": base.vehicle},
	"passes carrier": {"passes": true, "question": base.carrier},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: no zone file": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/zone_file", "value": {"installed": false, "signed": false, "digest": null}}])},
	"denies: zone file is not signed": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/zone_file/signed", "value": false}])},
	"denies: zone file is not installed": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/zone_file/installed", "value": false}])},
	"denies: zone file has no digest": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/zone_file/digest", "value": null}])},
	"denies without context.profile.jurisdiction": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/profile/jurisdiction"}])},
	"denies without context.zone_file.digest": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/zone_file/digest"}])},
	"denies without context.zone_file.installed": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/zone_file/installed"}])},
	"denies without context.zone_file.signed": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/zone_file/signed"}])},
}
