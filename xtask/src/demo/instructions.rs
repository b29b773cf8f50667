//! What a newcomer can try.

use super::stage::{BASE_DOMAIN, Stage};

/// Prints how to call the cluster.
pub(super) fn print(stage: &Stage) {
    let folder = stage.folder.display();
    let kubectl = stage.kubectl.display();
    let (path, host, name) = (stage.url_by_path(), stage.url_by_host(), stage.host());
    let (kubeconfig, ca) = (stage.kubeconfig(), stage.ca_file());
    let (kubeconfig, ca) = (kubeconfig.display(), ca.display());
    println!(
        "
The cluster's API listens on loopback only; Culvert makes it reachable

  by path       {path}
  by hostname   {host}

A kubeconfig that works at once (by path):

  export KUBECONFIG={kubeconfig}

For the hostname, add this line to /etc/hosts, and use {folder}/kubeconfig-by-hostname:

  127.0.0.1 {name} {BASE_DOMAIN}

Try:

  {kubectl} get namespaces
  {kubectl} create configmap hello --from-literal=from=outside
  {kubectl} get configmaps --watch
  curl --cacert {ca} -H @{folder}/authorization-header --resolve {name}:{port}:127.0.0.1 {host}/version

Logs and files are in {folder}. Ctrl-C ends everything.
",
        port = stage.port,
    );
}
