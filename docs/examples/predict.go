// Send a picture to the service: go run predict.go http://127.0.0.1:8080 photo.jpg
//
// Needs only Go 1.18 or later. User name and password come from AGE_GENDER_USER and
// AGE_GENDER_PASSWORD.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const attempts = 5

// Face has the fields that this program prints.
type Face struct {
	Box         [4]int     `json:"box"`
	Age         float64    `json:"age"`
	Interval    [2]float64 `json:"age_interval"`
	Gender      string     `json:"gender"`
	Probability float64    `json:"gender_probability"`
}

// Answer is the body of a successful response.
type Answer struct {
	Faces []Face `json:"details"`
}

// Problem is the body of an error (RFC 9457).
type Problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (p Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

// predict returns the faces of a picture; it retries while the service is busy.
func predict(service, path string, options map[string]string) ([]Face, error) {
	body, contentType, err := form(path, options)
	if err != nil {
		return nil, err
	}
	client := http.Client{Timeout: time.Minute}
	for attempt := 1; ; attempt++ {
		request, err := http.NewRequest("POST", service+"/predict", bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Content-Type", contentType)
		request.SetBasicAuth(env("AGE_GENDER_USER", "sugar"), env("AGE_GENDER_PASSWORD", "kubes"))
		response, err := client.Do(request)
		if err != nil {
			return nil, err
		}
		if response.StatusCode != http.StatusTooManyRequests || attempt == attempts {
			return read(response)
		}
		response.Body.Close()
		seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
		if err != nil {
			seconds = 1
		}
		time.Sleep(time.Duration(seconds) * time.Second)
	}
}

func form(path string, options map[string]string) ([]byte, string, error) {
	picture, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	var body bytes.Buffer
	writer := multipart.NewWriter(&body)
	part, err := writer.CreateFormFile("image", filepath.Base(path))
	if err != nil {
		return nil, "", err
	}
	if _, err := part.Write(picture); err != nil {
		return nil, "", err
	}
	for name, value := range options {
		if err := writer.WriteField(name, value); err != nil {
			return nil, "", err
		}
	}
	err = writer.Close() // writes the last boundary
	return body.Bytes(), writer.FormDataContentType(), err
}

func read(response *http.Response) ([]Face, error) {
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK {
		var answer Answer
		err := json.Unmarshal(body, &answer)
		return answer.Faces, err
	}
	if response.Header.Get("Content-Type") == "application/problem+json" {
		var problem Problem
		if err := json.Unmarshal(body, &problem); err != nil {
			return nil, err
		}
		return nil, problem
	}
	return nil, fmt.Errorf("%s %.200s", response.Status, body) // for example, from a proxy
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: predict SERVICE PICTURE")
		os.Exit(2)
	}
	options := map[string]string{"face_detector": "accurate", "return_image": "false"}
	faces, err := predict(os.Args[1], os.Args[2], options)
	if err != nil {
		fmt.Fprintln(os.Stderr, "no answer:", err)
		os.Exit(1)
	}
	for _, f := range faces {
		fmt.Printf("%.1f %.1f-%.1f %s %.2f %d,%d,%d,%d\n", f.Age, f.Interval[0], f.Interval[1],
			f.Gender, f.Probability, f.Box[0], f.Box[1], f.Box[2], f.Box[3])
	}
}
