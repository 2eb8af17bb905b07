#!/bin/sh
# Makes the secrets that are not there yet in ./secrets. Run it once, and back the folder up: without
# tocsin_patient_key the stored answers can no longer be told to belong to a patient.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
[ -s secrets/postgres_password ] || random >secrets/postgres_password
[ -s secrets/tocsin_patient_key ] || random >secrets/tocsin_patient_key
[ -s secrets/tocsin_database_url ] ||
    printf 'postgresql://tocsin:%s@database/tocsin' "$(cat secrets/postgres_password)" >secrets/tocsin_database_url
# Compose mounts files with the mode they have here, and the service runs as 65532; the folder keeps others out.
chmod 700 secrets
chmod 444 secrets/*
