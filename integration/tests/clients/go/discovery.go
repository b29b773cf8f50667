package main

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
)

// discover reads all that an API server says of itself.
func discover(_ context.Context, c caller) error {
	discovery := c.clients.Discovery()
	version, err := discovery.ServerVersion()
	if err != nil {
		return err
	}
	if version.Major != "1" || version.GitVersion == "" {
		return fmt.Errorf("the server's version is %v", version)
	}
	groups, resources, err := discovery.ServerGroupsAndResources()
	if err != nil {
		return err
	}
	if len(groups) < 10 || len(resources) < len(groups) {
		return fmt.Errorf("%d groups with %d lists of resources", len(groups), len(resources))
	}
	paths, err := discovery.OpenAPIV3().Paths()
	if err != nil {
		return err
	}
	apps, found := paths["apis/apps/v1"]
	if !found {
		return fmt.Errorf("apps/v1 is not among %d paths of OpenAPI", len(paths))
	}
	document, err := apps.Schema("application/json")
	if err != nil {
		return err
	}
	if len(document) < 100_000 {
		return fmt.Errorf("the schema of apps/v1 has %d bytes", len(document))
	}
	return nil
}

// dynamicObjects finds the resource of a kind by discovery, and makes one without
// knowing its type.
func dynamicObjects(ctx context.Context, c caller) error {
	groups, err := restmapper.GetAPIGroupResources(c.clients.Discovery())
	if err != nil {
		return err
	}
	kind := schema.GroupKind{Group: "apps", Kind: "Deployment"}
	mapping, err := restmapper.NewDiscoveryRESTMapper(groups).RESTMapping(kind)
	if err != nil {
		return err
	}
	clients, err := dynamic.NewForConfig(c.config)
	if err != nil {
		return err
	}
	labels := map[string]any{"app": "web"}
	deployment := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": mapping.GroupVersionKind.GroupVersion().String(),
		"kind":       kind.Kind,
		"metadata":   map[string]any{"name": "web"},
		"spec": map[string]any{
			"replicas": int64(0),
			"selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec": map[string]any{"containers": []any{
					map[string]any{"name": "web", "image": "registry.test/web:1"},
				}},
			},
		},
	}}
	deployments := clients.Resource(mapping.Resource).Namespace(c.namespace)
	if _, err := deployments.Create(ctx, deployment, metav1.CreateOptions{}); err != nil {
		return err
	}
	list, err := deployments.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	if len(list.Items) != 1 || list.Items[0].GetName() != "web" {
		return fmt.Errorf("listed: %v", list.Items)
	}
	return nil
}
