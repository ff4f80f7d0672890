// Shows the API's document, and lets whoever is signed in try each operation as himself.
"use strict";

const place = document.getElementById("operations");

SwaggerUIBundle({
  domNode: place,
  url: place.dataset.document,
  validatorUrl: null, // no foreign host is asked
  deepLinking: true,
  requestInterceptor: (request) => {
    request.headers["X-CSRFToken"] = place.dataset.token;
    return request;
  },
});
