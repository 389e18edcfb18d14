#!/bin/sh
# Of the dev stack's profile `cluster`, inside the k3s image: the modules' namespaces, what jobs there need (the lake, by
# an address that pods reach; connections), the sample market, and a kubeconfig for the stack's network. Repeatable.
set -eu
umask 027
sed 's#https://127.0.0.1:6443#https://k3s:6443#' /output/kubeconfig.yaml >/output/base-ops.yaml
export KUBECONFIG=/output/base-ops.yaml
random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
secret() { # namespace, name, contents
  space=$1 name=$2
  shift 2
  kubectl create secret generic --namespace "$space" "$name" --dry-run=client --output yaml "$@" | kubectl apply --filename -
}

kubectl apply --server-side --kustomize /helm-values/modules/overlays/local
kubectl get namespace airflow >/dev/null 2>&1 || kubectl create namespace airflow

# Pods do not see the stack's names, but they reach its addresses.
s3=$(nslookup s3 | grep -oE '([0-9]+\.){3}[0-9]+' | grep -v '^127\.' | head -n 1)
for space in $(kubectl get namespaces --selector module.type --output 'jsonpath={.items[*].metadata.name}'); do
  secret "$space" base-lake --from-literal=AWS_ENDPOINT_URL="http://$s3:8333" --from-literal=AWS_ALLOW_HTTP=true \
    --from-literal=AWS_REGION=us-east-1 --from-literal=AWS_ACCESS_KEY_ID="$AWS_ACCESS_KEY_ID" \
    --from-literal=AWS_SECRET_ACCESS_KEY="$AWS_SECRET_ACCESS_KEY"
done

if ! kubectl --namespace base-data-security get secret base-conn-masking-key >/dev/null 2>&1; then
  cd "$(mktemp -d)"
  printf '{"conn_type": "http", "host": "sample.airflow", "port": 8080, "password": "%s", "extra": {"scheme": "http"}}' \
    "$(random)" >sample_api.json
  printf '{"conn_type": "http", "host": "sample.airflow", "port": 8080, "login": "base-ops", "password": "%s", "extra": {"scheme": "http", "token_url": "http://sample.airflow:8080/oauth/token"}}' \
    "$(random)" >sample_v2.json
  printf '{"conn_type": "generic", "password": "%s"}' "$(random)" >masking_key.json
  for space in airflow base-data-ingestion; do
    secret $space base-conn-sample-api --from-file=sample_api.json
    secret $space base-conn-sample-v2 --from-file=sample_v2.json
  done
  secret base-data-security base-conn-masking-key --from-file=masking_key.json
fi
sed "s#base-ops-worker:.*#base-ops-worker:$TAG#" /helm-values/local/sample.yaml | kubectl apply --filename -
