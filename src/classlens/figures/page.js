// All of it can be read without scripts; this adds a search, and how strongly maps are laid over their pictures.
{
  const tools = document.getElementById("tools"), find = tools.querySelector("[type=search]");
  const marked = tools.querySelector("[type=checkbox]"), heat = tools.querySelector("[type=range]");
  const figures = [...document.querySelectorAll(".pictures figure")], sections = [...document.querySelectorAll("section")];
  const words = figures.map((one) => one.textContent.toLowerCase());
  const root = document.documentElement.style, set = () => root.setProperty("--heat", heat.value);
  marked.parentElement.hidden = !figures.some((one) => one.classList.contains("marked"));
  heat.parentElement.hidden = !document.querySelector(".heat");
  heat.value = getComputedStyle(document.documentElement).getPropertyValue("--heat");
  tools.hidden = figures.length < 12 && heat.parentElement.hidden;
  const show = () => {
    const wanted = find.value.toLowerCase();
    let left = 0;
    figures.forEach((one, k) => {
      one.hidden = (marked.checked && !one.classList.contains("marked")) || !words[k].includes(wanted);
      left += !one.hidden;
    });
    for (const one of sections) {
      const inside = [...one.querySelectorAll(".pictures figure")];
      one.hidden = inside.length > 0 && !one.querySelector("table, .chart, h3") && inside.every((figure) => figure.hidden);
    }
    tools.querySelector("output").value = `${left} of ${figures.length}`;
  };
  find.oninput = marked.onchange = show;
  heat.oninput = set;
  tools.onsubmit = (event) => event.preventDefault();
  show();
}
