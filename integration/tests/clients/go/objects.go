package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/util/retry"
)

func settings(value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "settings"},
		Data:       map[string]string{"a": value},
	}
}

// objects makes one, changes it in each way that there is, and deletes it.
func objects(ctx context.Context, c caller) error {
	maps := c.clients.CoreV1().ConfigMaps(c.namespace)
	if _, err := maps.Create(ctx, settings("created"), metav1.CreateOptions{}); err != nil {
		return err
	}
	if _, err := maps.Create(ctx, settings("again"), metav1.CreateOptions{}); !errors.IsAlreadyExists(err) {
		return fmt.Errorf("a second one was created: %w", err)
	}
	updated := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		found, err := maps.Get(ctx, "settings", metav1.GetOptions{})
		if err != nil {
			return err
		}
		found.Data["updated"] = "yes"
		_, err = maps.Update(ctx, found, metav1.UpdateOptions{})
		return err
	})
	if updated != nil {
		return updated
	}
	for kind, patch := range map[types.PatchType]string{
		types.JSONPatchType:           `[{"op": "add", "path": "/data/json", "value": "yes"}]`,
		types.MergePatchType:          `{"data": {"merge": "yes"}}`,
		types.StrategicMergePatchType: `{"data": {"strategic": "yes"}}`,
	} {
		if _, err := maps.Patch(ctx, "settings", kind, []byte(patch), metav1.PatchOptions{}); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	apply := corev1apply.ConfigMap("settings", c.namespace).WithData(map[string]string{"apply": "yes"})
	options := metav1.ApplyOptions{FieldManager: "clients"}
	if _, err := maps.Apply(ctx, apply, options); err != nil {
		return err
	}
	list, err := maps.List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=settings"})
	if err != nil {
		return err
	}
	if len(list.Items) != 1 {
		return fmt.Errorf("%d objects were listed", len(list.Items))
	}
	for _, key := range []string{"updated", "json", "merge", "strategic", "apply"} {
		if list.Items[0].Data[key] != "yes" {
			return fmt.Errorf("%s has done nothing: %v", key, list.Items[0].Data)
		}
	}
	if err := maps.Delete(ctx, "settings", metav1.DeleteOptions{}); err != nil {
		return err
	}
	if _, err := maps.Get(ctx, "settings", metav1.GetOptions{}); !errors.IsNotFound(err) {
		return fmt.Errorf("it is still there: %w", err)
	}
	return inPages(ctx, c)
}

// inPages lists more objects than a page holds, each of them once.
func inPages(ctx context.Context, c caller) error {
	maps := c.clients.CoreV1().ConfigMaps(c.namespace)
	const count = 7
	for number := range count {
		one := settings("listed")
		one.Name = fmt.Sprintf("page-%d", number)
		one.Labels = map[string]string{"listed": "in-pages"}
		if _, err := maps.Create(ctx, one, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	names := map[string]bool{}
	options := metav1.ListOptions{LabelSelector: "listed in (in-pages,or-not)", Limit: 3}
	for pages := 0; ; pages++ {
		list, err := maps.List(ctx, options)
		if err != nil {
			return err
		}
		for _, one := range list.Items {
			names[one.Name] = true
		}
		if options.Continue = list.Continue; options.Continue == "" {
			if len(names) != count || pages != 2 {
				return fmt.Errorf("%d of %d in %d pages", len(names), count, pages+1)
			}
			return nil
		}
	}
}
