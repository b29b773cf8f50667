#!/bin/sh
# Lists a cluster's namespaces with curl.
#
#   CULVERT_URL=https://prod.clusters.example.com CULVERT_TOKEN_FILE=token ./curl.sh
#
# CULVERT_CA_FILE names certificate authorities to trust instead of the system's.
set -eu

token=$(cat "$CULVERT_TOKEN_FILE")

# curl reads the header from its standard input, and printf is a part of the
# shell: so the token stands in no process' arguments, where ps would show it.
printf 'Authorization: Bearer %s\n' "$token" |
    curl --silent --show-error --fail-with-body \
        ${CULVERT_CA_FILE:+--cacert "$CULVERT_CA_FILE"} \
        --header @- \
        "${CULVERT_URL%/}/api/v1/namespaces"
