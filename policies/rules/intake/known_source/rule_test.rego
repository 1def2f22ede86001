package fleetgate_test.intake.known_source

import data.examples
import data.fleetgate.intake

test_passes_vehicle if "known_source" in intake.passed with input as examples.intake.vehicle

test_passes_carrier if "known_source" in intake.passed with input as examples.intake.carrier

test_passes_eu if "known_source" in intake.passed with input as examples.intake.eu

test_denies_vehicle_is_not_enrolled if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/subject/enrolled", "value": false}])
	missing := intake.missing with input as question
	missing == {"known_source"}
}

test_denies_vehicle_lacks_its_role if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/subject/roles", "value": []}])
	missing := intake.missing with input as question
	missing == {"known_source"}
}

test_denies_manifest_is_not_signed if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/resource/manifest_signed", "value": false}])
	missing := intake.missing with input as question
	missing == {"known_source"}
}

test_denies_a_person_cannot_pose_as_a_vehicle if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/subject/kind", "value": "person"}])
	missing := intake.missing with input as question
	missing == {"known_source"}
}

test_denies_a_vehicle_s_data_cannot_pose_as_a_carrier_s if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/resource/source", "value": "carrier"}])
	missing := intake.missing with input as question
	missing == {"known_source"}
}

test_denies_a_vehicle_cannot_deliver_a_carrier if {
	question := json.patch(examples.intake.carrier, [{"op": "replace", "path": "/subject/kind", "value": "vehicle"}])
	missing := intake.missing with input as question
	missing == {"known_source"}
}

test_denies_a_carrier_s_data_cannot_pose_as_a_vehicle_s if {
	question := json.patch(examples.intake.carrier, [{"op": "replace", "path": "/resource/source", "value": "vehicle"}])
	missing := intake.missing with input as question
	missing == {"known_source"}
}

test_denies_carrier_is_not_registered if {
	question := json.patch(examples.intake.carrier, [{"op": "replace", "path": "/resource/carrier_registered", "value": false}])
	missing := intake.missing with input as question
	missing == {"known_source"}
}

test_denies_carrier_was_checked_in_by_an_operator if {
	question := json.patch(examples.intake.carrier, [{"op": "replace", "path": "/resource/carrier_checked_in_by_role", "value": "operator"}])
	missing := intake.missing with input as question
	missing == {"known_source"}
}

test_denies_carrier_brought_by_an_engineer if {
	question := json.patch(examples.intake.carrier, [{"op": "replace", "path": "/subject/roles", "value": ["engineer"]}])
	missing := intake.missing with input as question
	missing == {"known_source"}
}

test_denies_without_resource_carrier_checked_in_by_role if {
	question := json.patch(examples.intake.carrier, [{"op": "remove", "path": "/resource/carrier_checked_in_by_role"}])
	missing := intake.missing with input as question
	"known_source" in missing
}

test_denies_without_resource_carrier_registered if {
	question := json.patch(examples.intake.carrier, [{"op": "remove", "path": "/resource/carrier_registered"}])
	missing := intake.missing with input as question
	"known_source" in missing
}

test_denies_without_resource_manifest_signed if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/resource/manifest_signed"}])
	missing := intake.missing with input as question
	"known_source" in missing
}

test_denies_without_resource_source if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/resource/source"}])
	missing := intake.missing with input as question
	"known_source" in missing
}

test_denies_without_subject_enrolled if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/subject/enrolled"}])
	missing := intake.missing with input as question
	"known_source" in missing
}

test_denies_without_subject_kind if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/subject/kind"}])
	missing := intake.missing with input as question
	"known_source" in missing
}

test_denies_without_subject_roles if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/subject/roles"}])
	missing := intake.missing with input as question
	"known_source" in missing
}
