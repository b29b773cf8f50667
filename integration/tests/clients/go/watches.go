package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// watchObjects sees each change on an open watch before it makes the next one.
func watchObjects(ctx context.Context, c caller) error {
	maps := c.clients.CoreV1().ConfigMaps(c.namespace)
	list, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	events, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion, AllowWatchBookmarks: true})
	if err != nil {
		return err
	}
	defer events.Stop()
	for _, step := range changes(ctx, c) {
		if err := step.make(); err != nil {
			return err
		}
		if err := nextEvent(ctx, events.ResultChan(), step.seen); err != nil {
			return err
		}
	}
	return nil
}

type change struct {
	seen watch.EventType
	make func() error
}

func changes(ctx context.Context, c caller) []change {
	maps := c.clients.CoreV1().ConfigMaps(c.namespace)
	return []change{
		{watch.Added, func() error {
			_, err := maps.Create(ctx, settings("one"), metav1.CreateOptions{})
			return err
		}},
		{watch.Modified, func() error {
			_, err := maps.Update(ctx, settings("two"), metav1.UpdateOptions{})
			return err
		}},
		{watch.Deleted, func() error {
			return maps.Delete(ctx, "settings", metav1.DeleteOptions{})
		}},
	}
}

// nextEvent reads events up to the next one of an object.
func nextEvent(ctx context.Context, events <-chan watch.Event, wanted watch.EventType) error {
	for {
		select {
		case event, open := <-events:
			if !open {
				return fmt.Errorf("the watch has ended before %s", wanted)
			}
			if event.Type == watch.Bookmark {
				continue
			}
			if event.Type != wanted {
				return fmt.Errorf("%s instead of %s: %v", event.Type, wanted, event.Object)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%s was not seen: %w", wanted, ctx.Err())
		}
	}
}

// informer follows the same changes as controllers do.
func informer(ctx context.Context, c caller) error {
	seen := make(chan watch.EventType, 16)
	factory := informers.NewSharedInformerFactoryWithOptions(
		kubernetes.Interface(c.clients), time.Hour, informers.WithNamespace(c.namespace))
	maps := factory.Core().V1().ConfigMaps()
	_, err := maps.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { seen <- watch.Added },
		UpdateFunc: func(any, any) { seen <- watch.Modified },
		DeleteFunc: func(any) { seen <- watch.Deleted },
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("the cache of %s was not filled", kind)
		}
	}
	for _, step := range changes(ctx, c) {
		if err := step.make(); err != nil {
			return err
		}
		select {
		case event := <-seen:
			if event != step.seen {
				return fmt.Errorf("%s instead of %s", event, step.seen)
			}
		case <-ctx.Done():
			return fmt.Errorf("%s was not seen: %w", step.seen, ctx.Err())
		}
		if err := cached(maps.Informer().GetStore(), c.namespace, step.seen != watch.Deleted); err != nil {
			return err
		}
	}
	return nil
}

func cached(store cache.Store, namespace string, wanted bool) error {
	key := cache.NewObjectName(namespace, "settings").String()
	object, found, err := store.GetByKey(key)
	if err != nil {
		return err
	}
	if _, isMap := object.(*corev1.ConfigMap); found != wanted || isMap != wanted {
		return fmt.Errorf("in the cache: %v, where %v was expected", object, wanted)
	}
	return nil
}
