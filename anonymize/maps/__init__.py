"""Vector maps: GeoJSON, OpenStreetMap XML and PBF; OpenDRIVE is told and refused."""
