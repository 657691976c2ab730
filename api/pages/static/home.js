// The list is the truth; the map is drawn from it, and the list is fetched anew every 15 seconds.
"use strict";
(() => {
  const changing = document.getElementById("changing");
  const find = document.getElementById("find");
  const status = document.getElementById("status");
  const box = document.getElementById("map");
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let map = null, marks = null;

  function begin() {
    if (!window.L) return;
    box.hidden = false;
    document.getElementById("legend").hidden = false;
    map = L.map(box, { attributionControl: false, scrollWheelZoom: false, zoomSnap: 0.25 });
    const zones = JSON.parse(box.dataset.zones);
    const areas = zones.map((zone) => L.polygon(zone.ring.map(([lon, lat]) => [lat, lon]),
      { color: style("--soft"), weight: 1, fillOpacity: 0.04 }).bindTooltip(zone.name).addTo(map));
    marks = L.layerGroup().addTo(map);
    draw();
    const all = [...areas, ...marks.getLayers()];
    if (all.length) map.fitBounds(L.featureGroup(all).getBounds().pad(0.05));
    else map.setView([0, 0], 2);
  }

  function draw() {
    if (!marks) return;
    marks.clearLayers();
    for (const place of changing.querySelectorAll(".place:not([hidden])")) {
      const facts = place.dataset, voices = Number(facts.voices), live = facts.current === "1";
      const text = document.createElement("div");
      text.innerHTML = place.innerHTML;
      L.circleMarker([Number(facts.lat), Number(facts.lon)], {
        radius: 8 + Math.min(8, Math.sqrt(voices)),
        color: voices ? style("--said") : live ? style("--accent") : style("--soft"),
        weight: voices ? 3 : 2,
        dashArray: live || facts.streams === "0" ? null : "3 3",
        fillColor: style("--accent"),
        fillOpacity: live ? 0.85 : 0.05,
      }).bindTooltip(facts.name).bindPopup(text, { maxHeight: 260 }).addTo(marks);
    }
  }

  function filter() {
    const wanted = find.value.trim().toLocaleLowerCase();
    let n = 0;
    for (const place of changing.querySelectorAll(".place")) {
      place.hidden = !place.dataset.name.toLocaleLowerCase().includes(wanted);
      n += place.hidden ? 0 : 1;
    }
    status.textContent = wanted ? `${n} Places` : "";
    draw();
  }

  async function renew() {
    if (document.hidden || changing.contains(document.activeElement) || box.querySelector(".leaflet-popup")) return;
    try {
      const answer = await fetch("/fragments/home");
      if (!answer.ok) return;
      changing.innerHTML = await answer.text();
      filter();
    } catch { /* the page stays as it is until the lab answers again */ }
  }

  find.addEventListener("input", filter);
  begin();
  setInterval(renew, 15000);
})();
