package fleetgate_test.intake.zone_file_installed

import data.examples
import data.fleetgate.intake

test_passes_vehicle if "zone_file_installed" in intake.passed with input as examples.intake.vehicle

test_passes_carrier if "zone_file_installed" in intake.passed with input as examples.intake.carrier

test_passes_eu if "zone_file_installed" in intake.passed with input as examples.intake.eu

test_denies_no_zone_file if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/context/zone_file", "value": {"installed": false, "signed": false, "digest": null}}])
	missing := intake.missing with input as question
	missing == {"zone_file_installed"}
}

test_denies_zone_file_is_not_signed if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/context/zone_file/signed", "value": false}])
	missing := intake.missing with input as question
	missing == {"zone_file_installed"}
}

test_denies_zone_file_is_not_installed if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/context/zone_file/installed", "value": false}])
	missing := intake.missing with input as question
	missing == {"zone_file_installed"}
}

test_denies_zone_file_has_no_digest if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/context/zone_file/digest", "value": null}])
	missing := intake.missing with input as question
	missing == {"zone_file_installed"}
}

test_denies_without_context_profile_jurisdiction if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/context/profile/jurisdiction"}])
	missing := intake.missing with input as question
	"zone_file_installed" in missing
}

test_denies_without_context_zone_file_digest if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/context/zone_file/digest"}])
	missing := intake.missing with input as question
	"zone_file_installed" in missing
}

test_denies_without_context_zone_file_installed if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/context/zone_file/installed"}])
	missing := intake.missing with input as question
	"zone_file_installed" in missing
}

test_denies_without_context_zone_file_signed if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/context/zone_file/signed"}])
	missing := intake.missing with input as question
	"zone_file_installed" in missing
}
