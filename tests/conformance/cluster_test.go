package conformance

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	scalefake "k8s.io/client-go/scale/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	clientfake "sigs.k8s.io/controller-runtime/pkg/client/fake"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
)

// cluster is what KEDA sees of one: a Deployment named worker in shop, its pods, and whatever else a test puts there.
type cluster struct {
	client client.Client
	scales *scalefake.FakeScaleClient
	// The Deployment's .spec.replicas now.
	replicas int32
	// How often KEDA set them.
	writes int
}

// newCluster has a Deployment with these replicas (nil: not written) and pods of which some are ready.
func newCluster(t *testing.T, replicas *int32, readyPods int, objects ...client.Object) *cluster {
	t.Helper()
	result := &cluster{scales: &scalefake.FakeScaleClient{}}
	// The API server's default: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/deployment-v1/.
	result.replicas = 1
	if replicas != nil {
		result.replicas = *replicas
	}
	selector := map[string]string{"app": "worker"}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: selector}}
	template.Spec.Containers = []corev1.Container{{Name: "worker", Image: "worker"}}
	objects = append(objects, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "worker", Namespace: "shop"},
		Spec:       appsv1.DeploymentSpec{Replicas: replicas, Selector: &metav1.LabelSelector{MatchLabels: selector}, Template: template},
	})
	for number := range readyPods {
		objects = append(objects, pod(number, true))
	}
	var err error
	if result.client, err = fakeClient(objects...); err != nil {
		t.Fatal(err)
	}
	scale := func() *autoscalingv1.Scale {
		return &autoscalingv1.Scale{
			ObjectMeta: metav1.ObjectMeta{Name: "worker", Namespace: "shop"},
			Spec:       autoscalingv1.ScaleSpec{Replicas: result.replicas},
			Status:     autoscalingv1.ScaleStatus{Replicas: result.replicas, Selector: "app=worker"},
		}
	}
	result.scales.AddReactor("get", "*", func(clienttesting.Action) (bool, runtime.Object, error) { return true, scale(), nil })
	result.scales.AddReactor("update", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		result.replicas = action.(clienttesting.UpdateAction).GetObject().(*autoscalingv1.Scale).Spec.Replicas
		result.writes++
		return true, scale(), nil
	})
	return result
}

// scheme has Kubernetes' kinds and KEDA's.
func scheme() (*runtime.Scheme, error) {
	result := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(result); err != nil {
		return nil, err
	}
	return result, kedav1alpha1.AddToScheme(result)
}

func fakeClient(objects ...client.Object) (client.Client, error) {
	known, err := scheme()
	if err != nil {
		return nil, err
	}
	return clientfake.NewClientBuilder().WithScheme(known).WithObjects(objects...).WithStatusSubresource(&kedav1alpha1.ScaledObject{}).Build(), nil
}

// typed is an object of a kind that the scheme knows.
func typed(t *testing.T, fields map[string]any) client.Object {
	t.Helper()
	known, err := scheme()
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{Object: fields}
	result, err := known.New(object.GroupVersionKind())
	if err != nil {
		t.Fatal(err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, result); err != nil {
		t.Fatal(err)
	}
	return result.(client.Object)
}

// scaledObject is one for the Deployment, with a prometheus trigger.
func scaledObject() *kedav1alpha1.ScaledObject {
	return &kedav1alpha1.ScaledObject{
		ObjectMeta: metav1.ObjectMeta{Name: "worker", Namespace: "shop"},
		Spec: kedav1alpha1.ScaledObjectSpec{
			ScaleTargetRef: &kedav1alpha1.ScaleTarget{Name: "worker"},
			Triggers:       []kedav1alpha1.ScaleTriggers{{Type: "prometheus", Name: "demand", Metadata: map[string]string{"serverAddress": "http://prometheus", "query": "demand", "threshold": "10"}}},
		},
		Status: kedav1alpha1.ScaledObjectStatus{
			ScaleTargetKind: "apps/v1.Deployment",
			ScaleTargetGVKR: &kedav1alpha1.GroupVersionKindResource{Group: "apps", Version: "v1", Kind: "Deployment", Resource: "deployments"},
			Conditions:      *kedav1alpha1.GetInitializedConditions(),
		},
	}
}
