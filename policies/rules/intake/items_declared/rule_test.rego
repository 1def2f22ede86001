package fleetgate_test.intake.items_declared

import data.examples
import data.fleetgate.intake

test_passes_vehicle if "items_declared" in intake.passed with input as examples.intake.vehicle

test_passes_carrier if "items_declared" in intake.passed with input as examples.intake.carrier

test_passes_eu if "items_declared" in intake.passed with input as examples.intake.eu

test_denies_no_items if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/resource/item_count", "value": 0}])
	missing := intake.missing with input as question
	missing == {"items_declared"}
}

test_denies_no_classes if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/resource/classes_declared", "value": []}])
	missing := intake.missing with input as question
	missing == {"cabin_dropped", "items_declared", "known_frame"}
}

test_denies_no_classes_on_an_accredited_system if {
	question := json.patch(examples.intake.vehicle, [{"op": "replace", "path": "/resource/classes_declared", "value": []}, {"op": "replace", "path": "/context/accredited_for_secrets", "value": true}])
	missing := intake.missing with input as question
	missing == {"cabin_dropped", "items_declared"}
}

test_denies_without_resource_classes_declared if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/resource/classes_declared"}])
	missing := intake.missing with input as question
	"items_declared" in missing
}

test_denies_without_resource_item_count if {
	question := json.patch(examples.intake.vehicle, [{"op": "remove", "path": "/resource/item_count"}])
	missing := intake.missing with input as question
	"items_declared" in missing
}
