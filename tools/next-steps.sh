#!/bin/sh
# Says what to try first; the commands work as they are printed.
data=${1:-/var/lib/hyperkube}
cat <<EOT

Try next:
  export KUBECONFIG=$data/admin.conf PATH=\$PATH:$(pwd)/bin
  hyperkube kubectl create deployment nginx --image=hyperkube.test/nginx:v1 --replicas=3 && hyperkube kubectl expose deployment nginx --port=80
  hyperkube kubectl get all -o wide
  curl http://\$(hyperkube kubectl get service nginx -o jsonpath='{.spec.clusterIP}')
EOT
